"""What ``mlopt optimize`` does, part by part."""
