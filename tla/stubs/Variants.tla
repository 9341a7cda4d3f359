------------------------------ MODULE Variants ------------------------------
(***************************************************************************)
(* Tagged unions for TLC: a variant is a function with one argument, its   *)
(* tag.  Apalache has its own, typed module of this name.                  *)
(***************************************************************************)
UNIT == "U_OF_UNIT"

Variant(__tag, __value) == [ __t \in {__tag} |-> __value ]

VariantTag(__variant) == CHOOSE __t \in DOMAIN __variant : TRUE

VariantFilter(__tag, __set) ==
    { __variant[__tag] : __variant \in { __v \in __set : __tag \in DOMAIN __v } }

VariantGetUnsafe(__tag, __variant) == __variant[__tag]

VariantGetOrElse(__tag, __variant, __default) ==
    IF __tag \in DOMAIN __variant THEN __variant[__tag] ELSE __default
=============================================================================
