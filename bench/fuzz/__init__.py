"""Judges of input, for the tests under tests/fuzz and for atheris."""


def must(holds: object, what: object) -> None:
    """Raises AssertionError with `what` unless `holds`."""
    if not holds:
        raise AssertionError(what)
