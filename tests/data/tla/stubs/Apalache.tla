------------------------------ MODULE Apalache ------------------------------
(***************************************************************************)
(* What TLC needs to evaluate modules written for Apalache.  Apalache has  *)
(* these operators built in and never reads this file; TLC finds it        *)
(* through the library path only.  Each operator means what Apalache's     *)
(* manual says, restricted to what TLC can compute.                        *)
(***************************************************************************)
LOCAL INSTANCE Integers
LOCAL INSTANCE Sequences

\* An assignment hint is an equation.
__variable := __expression == __variable = __expression

\* Hints for the symbolic engine mean nothing to an explicit one.
Skolem(__formula) == __formula
Expand(__set) == __set
ConstCardinality(__formula) == __formula

\* Any element of a non-empty set; TLC takes always the same one.
Guess(__set) == CHOOSE __element \in __set : TRUE

\* A set of pairs as a function; where two pairs share an argument, one wins.
SetAsFun(__pairs) ==
    [ __argument \in { __pair[1] : __pair \in __pairs } |->
        (CHOOSE __pair \in __pairs : __pair[1] = __argument)[2] ]

\* The sequence <<F(1), ..., F(n)>>.
MkSeq(__length, __F(_)) == [ __i \in 1..__length |-> __F(__i) ]

\* The first elements of a function over 1..n, as a sequence; the bound is for Apalache.
FunAsSeq(__function, __length, __bound) == [ __i \in 1..__length |-> __function[__i] ]

\* Folds: over a set in an order nobody may rely on, over a sequence from the left.
RECURSIVE ApaFoldSet(_, _, _)
ApaFoldSet(__Op(_, _), __start, __set) ==
    IF __set = {} THEN __start
    ELSE LET __one == CHOOSE __element \in __set : TRUE
         IN  ApaFoldSet(__Op, __Op(__start, __one), __set \ {__one})

RECURSIVE ApaFoldSeqLeft(_, _, _)
ApaFoldSeqLeft(__Op(_, _), __start, __sequence) ==
    IF __sequence = <<>> THEN __start
    ELSE ApaFoldSeqLeft(__Op, __Op(__start, Head(__sequence)), Tail(__sequence))

\* F applied n times, with the number of the round.
RECURSIVE Repeat(_, _, _)
Repeat(__F(_, _), __times, __start) ==
    IF __times <= 0 THEN __start
    ELSE __F(Repeat(__F, __times - 1, __start), __times)
=============================================================================
