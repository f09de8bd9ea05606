"""Models that other systems trained, made into Calque's."""
