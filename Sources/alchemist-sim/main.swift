print("alchemist-sim")
