"""Game days: scenarios, histories, and what is judged of them."""
