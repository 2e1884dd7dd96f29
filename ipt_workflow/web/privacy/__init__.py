"""The pages about clients' rights."""
