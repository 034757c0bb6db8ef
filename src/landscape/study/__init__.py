"""Networks and data by name: ready for an analyzer, or to be trained."""

from landscape.study.case import Case, prepare, twins, untrained

__all__ = ["Case", "prepare", "twins", "untrained"]
