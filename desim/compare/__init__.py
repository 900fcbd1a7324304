"""Two runs beside each other: where they part, why, and what comes of it; is a run what it was?"""
