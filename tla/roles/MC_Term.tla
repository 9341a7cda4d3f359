------------------------------- MODULE MC_Term --------------------------------
EXTENDS Term, TLC
MCSlots == 1..S
MCBlocks == 1..(VARIANTS * S)
Sym == Permutations(Honest)
==============================================================================
