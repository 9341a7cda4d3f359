---------------------------- MODULE roles_typedefs ----------------------------
(* Snowcat aliases of the role models, and the empty step of the history      *)
(* variable that names each action when TRACE is TRUE.                        *)
(* @typeAlias: step = { name: Str, node: Str, block: Int, parent: Int };      *)
(* @typeAlias: outcome = { by: Str, content: Int, slot: Int, key: Int, rec: Int }; *)
(* @typeAlias: genesis = { att: Int, who: Set(Str) };                         *)
(* @typeAlias: act = { att: Int, who: Set(Str), term: Int };                  *)
\* @type: $step;
NoStep == [name |-> "", node |-> "", block |-> 0, parent |-> 0]
==============================================================================
