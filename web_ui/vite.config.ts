import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  plugins: [svelte()],
  build: {
    outDir: "dist",
    emptyOutDir: true,
    target: "es2023",
    assetsInlineLimit: 0,
    rollupOptions: { input: ["index.html", "console.html"] },
  },
  server: {
    // `npm run dev` beside a running service.
    proxy: { "/api": { target: "http://127.0.0.1:8080", ws: true } },
  },
});
