// Fastify with a schema, as its guide advises, and undici's request(): its global dispatcher keeps connections alive.
import Fastify from 'fastify'
import { request } from 'undici'

const fastify = Fastify({ logger: false })

const schema = {
  body: {
    type: 'object',
    required: ['site', 'client_phone'],
    properties: {
      site: { type: 'string' },
      client_phone: { type: 'string' },
      active_page: { type: 'string' },
      referrer: { type: 'string' },
    },
  },
}

fastify.post('/v1/callbacks', { schema }, async (incoming, reply) => {
  const { statusCode, body } = await request(process.env.UPSTREAM, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(incoming.body),
  })
  await body.dump()
  reply.code(statusCode === 200 ? 202 : 502)
  return { status: statusCode }
})

await fastify.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
