"""Formal languages: regular expressions, automata to run, minimise and compare, and texts drawn from them."""

from rnnkit.automata.dfa import Dfa
from rnnkit.automata.language import Language, balanced
from rnnkit.automata.named import NAMES, named
from rnnkit.automata.regex import ByteAutomaton, compile_regex

__all__ = ["NAMES", "ByteAutomaton", "Dfa", "Language", "balanced", "compile_regex", "named"]
