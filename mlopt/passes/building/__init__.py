"""What the pass `tensorrt` is made of: what the library reads, the profiles, and the child process that builds."""
