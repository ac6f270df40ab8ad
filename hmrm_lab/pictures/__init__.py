"""One picture of a clip: the dynamic image, and MESTI, which keeps what rises and falls again."""
