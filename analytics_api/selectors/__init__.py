"""What is read of saved queries: by endpoints, and by the pages of their authors."""
