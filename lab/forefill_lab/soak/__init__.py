"""An hour of everything at once: does memory stay where it is, and is nothing given twice?"""
