"""Tests that every implementation of a protocol passes: one base class for each protocol.

A new service LLM, local LLM, judge or tracker inherits its class and gives the fixtures that the
class names. pytest is needed, which llamaduo itself does not need.
"""
