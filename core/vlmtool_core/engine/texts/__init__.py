"""Labels, questions and answers as texts."""
