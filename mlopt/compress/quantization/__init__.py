"""What the lossy passes share: which integers suit a CPU, how a graph is made ready, observed, rewritten and tried."""
