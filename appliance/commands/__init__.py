"""The sub-commands of `digits`, one a module: `add(parsers)` describes it, `run(args)` does it."""
