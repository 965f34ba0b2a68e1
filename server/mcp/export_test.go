package mcp

import (
	"context"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// Use calls a tool as the protocol does, without the protocol.
func Use(api API, o Options, name string, arguments []byte) *sdk.CallToolResult {
	o.Space = "default"
	d, err := openAPI()
	if err != nil {
		panic(err)
	}
	for i := range tools {
		if t := &tools[i]; t.name == name {
			in, err := d.input(t, o.Choose, o.Space)
			if err != nil {
				panic(err)
			}
			a, err := o.answer(context.Background(), api, t, known(in), nil, arguments)
			if err != nil {
				return failure(err)
			}
			return a
		}
	}
	panic(name)
}
