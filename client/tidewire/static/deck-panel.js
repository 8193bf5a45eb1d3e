/*! The Tidewire deck, Apache-2.0; built from client/chart, do not edit. */
import{default as o}from"./deck.js";export{o as default};
