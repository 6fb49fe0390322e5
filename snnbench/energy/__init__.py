"""Operations counted while a network runs, and what they would cost in energy."""
