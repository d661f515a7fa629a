module runnel/bench/serve

go 1.23
