// Runs, and never listens: it waits for something that does not come.
console.log("waiting for the database");
setInterval(() => console.log("waiting for the database"), 5000);
process.on("SIGTERM", () => process.exit(0));
