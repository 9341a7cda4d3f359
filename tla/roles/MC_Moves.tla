------------------------------ MODULE MC_Moves --------------------------------
EXTENDS Moves, TLC
Sym == Permutations(Honest) \union Permutations(Liars)
==============================================================================
