"""Events and requests <-> disk; knows no runtime. What ``cancel`` needs of it imports neither trio nor cattrs."""
