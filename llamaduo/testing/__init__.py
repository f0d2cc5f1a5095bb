"""Contract tests: one base class for each protocol, which every implementation passes.

The test class of a new service LLM, local LLM, judge, gate, stage or tracker inherits its contract
and gives the fixtures that the contract names. They need pytest, which llamaduo itself does not.
"""
