"""Real processes: a whole local cluster, attacked while clients work, and a verifier of everything acknowledged."""
