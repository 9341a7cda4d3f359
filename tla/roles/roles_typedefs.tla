---------------------------- MODULE roles_typedefs ----------------------------
(* Snowcat aliases of the role models, and the empty step of the history      *)
(* variable that names each action when TRACE is TRUE.                        *)
(* @typeAlias: step = { name: Str, node: Str, block: Int, parent: Int };      *)
(* @typeAlias: count = Int;                                                   *)
\* @type: $step;
NoStep == [name |-> "", node |-> "", block |-> 0, parent |-> 0]
==============================================================================
