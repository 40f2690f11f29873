"""The commands of `ra`, each a thin line from its options to the client and from the result to the screen."""
