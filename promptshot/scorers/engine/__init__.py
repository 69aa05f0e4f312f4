"""From prompts to scores: what all scorers with a model share."""
