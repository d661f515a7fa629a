module runnel/bench/http

go 1.23
