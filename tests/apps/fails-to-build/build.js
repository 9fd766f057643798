// Fails as a compiler does: it names the place and ends with a code of its own.
console.log("compiling src/app.css");
console.error("src/app.css:3:5: error: unknown property 'colour'; did you mean 'color'?");
console.error("1 error");
process.exit(3);
