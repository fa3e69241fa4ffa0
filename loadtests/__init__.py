"""PUSH: load tests with objectives, and benchmarks beside peers; they talk to the service over the network only."""
