------------------------------- MODULE MC_Seed --------------------------------
EXTENDS Seed, TLC
Sym == Permutations(Honest) \union Permutations(Liars)
==============================================================================
