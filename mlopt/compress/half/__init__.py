"""Half precision: FP16 and bfloat16."""
