// The goods as they lie in the tray, drawn as SVG.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const LOOKS = {
  cola: ["can", "#c8281e"], sprite: ["can", "#13924d"], tea: ["can", "#b5651d"], coffee: ["cup", "#6f4a2f"],
  water: ["bottle", "#59b7e8"], juice: ["bottle", "#f39a1b"], milk: ["carton", "#2f78c8"],
  chips: ["bag", "#eab308"], chocolate: ["bar", "#5b3422"], noodles: ["cup", "#d6452b"],
};
const SHAPES = {
  can: ["M12 8h24l3 6v42l-3 6H12l-3-6V14z", "M9 24h30v18H9z"],
  bottle: ["M19 2h10v10c0 5 7 7 7 15v31q0 4-4 4H16q-4 0-4-4V27c0-8 7-10 7-15z", "M12 34h24v14H12z"],
  carton: ["M10 20 24 6l14 14v42H10z", "M10 32h28v14H10z"],
  bag: ["M8 6q8 4 16 0t16 0v54q-8-4-16 0t-16 0z", "M8 24h32v16H8z"],
  bar: ["M14 4h20v56H14z", "M14 20h20v24H14z"],
  cup: ["M8 10h32l-5 52H13z", "M10 26h28l-2 16H12z"],
};

function drawGood(id) {
  const [shape, colour] = LOOKS[id] || ["can", "#667085"];
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 48 64");
  SHAPES[shape].forEach((outline, layer) => {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", outline);
    path.setAttribute("fill", layer ? "#ffffff" : colour);
    path.setAttribute("fill-opacity", layer ? "0.82" : "1");
    svg.append(path);
  });
  const letter = document.createElementNS(SVG, "text");
  letter.setAttribute("x", "24");
  letter.setAttribute("y", "39");
  letter.setAttribute("text-anchor", "middle");
  letter.setAttribute("font-size", "13");
  letter.setAttribute("font-weight", "700");
  letter.setAttribute("fill", colour);
  letter.textContent = goodName(id).slice(0, 1);
  svg.append(letter);
  return svg;
}
