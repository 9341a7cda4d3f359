"""Runs the models under ``tla/``: ``python -m tla.runner COMMAND`` (see ``tla/README.md``).

The modules, in the order data flows through them:

``instances``  reads and validates every ``tla/*/instances.toml``
``config``     reads and rewrites TLC configuration files
``closure``    finds the modules an instance depends on, and their fingerprint
``java``       finds a Java and the pinned TLC
``output``     parses what TLC prints in ``-tool`` mode
``values``     parses TLA+ values and turns them into ITF
``tlc``        runs one instance
``manifest``   the pinned results and the comparison with them
``check``      runs many instances side by side and judges them
``story``      a counterexample as a readable story
``sany``       the syntax tree, from TLC's own front end
``lint``       what the models must look like
``mutate``     drops and negates guards and sees whether anybody notices
``traces``     behaviours as ITF JSON for the conformance suite
``tables``     fills the generated tables of the specification
``apalache``   the second model checker, where it is installed
"""
