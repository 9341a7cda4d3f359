------------------------------ MODULE MC_Admit --------------------------------
EXTENDS Admit, TLC
Sym == Permutations(Founders) \union Permutations(Later)
==============================================================================
