"""What the benchmarks share: processes on their cores, the contenders, the load client, the feeder, the results."""
