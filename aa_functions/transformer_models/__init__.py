"""Models of Hugging Face's Transformers as detection functions."""
