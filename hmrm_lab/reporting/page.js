for (const plot of document.querySelectorAll(".plot")) {
  const figure = JSON.parse(plot.firstElementChild.textContent);
  plot.replaceChildren();
  Plotly.newPlot(plot, figure.data, figure.layout, { responsive: true, displaylogo: false, displayModeBar: false });
}
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach(part => part.open = true));
