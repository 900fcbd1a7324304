"""What a type checker must refuse. Each comment is the code of mypy's error on its line."""

import desim

hello = desim.load("hello")
desim.run("hello")  # arg-type
desim.run(hello, seed="7")  # arg-type
desim.run(hello, until=5.0)  # arg-type
desim.run(hello, cost="zero")  # call-arg
desim.run(hello, record="all")  # arg-type
desim.assemble(hello, capture="no")  # arg-type
hello.name = "other"  # misc
hello.set(seed=7)  # call-arg
result = desim.run(hello)
result.end_ns = 0  # misc
result.files["guest/hello.txt"] = b""  # index
for leg in result.journey:
    print(leg.own_us)  # attr-defined
print(desim.backtrace(hello, "ip_input").frames)  # union-attr
print(desim.nothing)  # attr-defined
print(desim.testing.Nobody)  # attr-defined
