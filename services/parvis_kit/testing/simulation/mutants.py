MUTANTS={}; HARMLESS={}
from contextlib import nullcontext
def applied(n): return nullcontext()
def hunt(*a): return 0,""
