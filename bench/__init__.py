"""Benchmarks, each compared with a peer in the same run or with a goal. No test runs them."""
