"""What is inserted next, and how large it is: policy, without threads or services."""
