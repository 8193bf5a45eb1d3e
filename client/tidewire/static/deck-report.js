/*! The Tidewire deck, Apache-2.0; built from client/chart, do not edit. */
const e=new Set,t=1e3;function n(r,o){e.has(r)||e.size>=t||(e.add(r),console.error(`${r} cannot be drawn; all others are`,o))}export{n as r};
