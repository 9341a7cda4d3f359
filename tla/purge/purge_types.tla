----------------------------- MODULE purge_types ----------------------------
(*
  One step as the traces tell it: the action, the node, and how a packet came.
  @typeAlias: step = { name: Str, node: Str, how: Str };
*)
purge_types_aliases == TRUE
=============================================================================
