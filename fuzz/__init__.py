"""Coverage-guided fuzzing of what strangers can send us: `make fuzz`.

`targets` says what is tried, `seeds` with which examples it begins and `mutation` how they are changed, all without
the fuzzer. `engine` is the process in which atheris tries one target; `python -m fuzz` starts one after the other.
"""
